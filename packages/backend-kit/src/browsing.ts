import { type BrowseOptions, type BrowsePage, type MaybePromise, MelangeError } from '@melange/core';
import { checkWholeNumber } from '@melange/core/adapter';

/** What the driver does to look into a queue. */
export interface BrowseDriver {
  /**
   * A page, without taking anything: see `BrowsableBackend`.
   *
   * @throws MelangeError `CONFIGURATION` when `after` comes from no page: `badCursor` makes it.
   */
  browse(queue: string, options: BrowseDriverOptions): MaybePromise<BrowsePage>;
}

/** Which page, checked. */
export interface BrowseDriverOptions {
  /** `next` of the page before, or `undefined` for the first. */
  readonly after: string | undefined;
  /** Most messages of the page. At least 1. */
  readonly limit: number;
}

/** The error of a driver that gets a cursor that it did not make. */
export function badCursor(after: string): MelangeError {
  return new MelangeError(
    'CONFIGURATION',
    `browseQueue: "${after}" is no "next" of a page of this backend. Leave "after" out to begin with the first page.`,
  );
}

/** @throws MelangeError `CONFIGURATION` when `limit` is no whole number of at least 1. */
export function checkedBrowseOptions({ after, limit = 100 }: BrowseOptions): BrowseDriverOptions {
  return { after, limit: checkWholeNumber('limit', limit, 1) };
}
