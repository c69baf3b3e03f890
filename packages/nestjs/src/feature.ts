import type { MelangeFeature } from './options.ts';

/** What `forFeature` was given, as a provider. */
export class Feature {
  readonly feature: MelangeFeature;

  constructor(feature: MelangeFeature) {
    this.feature = feature;
  }
}
