/** How a `JsonSerializer` reads and writes. */
export interface JsonSerializerOptions {
  /**
   * What becomes of whole numbers beyond 2^53 in content, which other languages write exactly and JavaScript's numbers
   * round. `refuse`: content with one that would be rounded cannot be decoded. `bigint`: those beyond 2^53 arrive as
   * `bigint`, which a schema sees too, and such `bigint`s can be published. `round`: they lose digits, as `JSON.parse` has
   * it. Default: `refuse`.
   */
  readonly largeIntegers?: 'refuse' | 'bigint' | 'round';
}
