/** Where a journaled output stands: what an earlier run left of it, and the unit that is being written. */
export class UnitCursor {
  readonly #kept: number;
  #unitEnd = 0;
  position = 0;

  /** `kept` bytes are there already, in whole units. */
  constructor(kept: number) { this.#kept = kept; }

  /** Begins a unit; true where all of it is there, and is passed over. */
  resume(byteLength: number): boolean {
    this.#unitEnd = this.position + byteLength;
    if (this.#unitEnd > this.#kept) return false;
    this.position = this.#unitEnd;
    return true;
  }

  /** How many of the next bytes are there already: of a header, or of a unit that was left half-written. */
  skip(byteLength: number): number { return Math.min(Math.max(this.#kept - this.position, 0), byteLength); }

  /** Goes on behind bytes that are written now; true where a new unit ends with them. */
  advance(byteLength: number): boolean {
    this.position += byteLength;
    return this.position === this.#unitEnd && this.position > this.#kept;
  }
}
