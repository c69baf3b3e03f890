/** What is said besides the sentence of a line. */
export type Facts = Readonly<Record<string, unknown>>;

/**
 * Further facts of a line, asked for when it is written: the ids of the active span, for example, which `traceFacts` of
 * `@melange/opentelemetry` answers. It is given the facts that the line has already, which count more.
 */
export type MoreFacts = (facts: Facts) => Facts;

/** All facts of a line. Without those of `more` where it throws: no line is lost for that. */
export function allFacts(facts: Facts, more: MoreFacts | undefined): Facts {
  if (more === undefined) return facts;
  try {
    return { ...more(facts), ...facts };
  } catch {
    return facts;
  }
}
