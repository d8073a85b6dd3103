const MAX_LINES = 20;
const MAX_LINE_LENGTH = 500;

/** The last lines that a program has written, for the errors about it. */
export class LastLines {
  readonly #lines: string[] = [];

  add(line: string): void {
    this.#lines.push(line.slice(0, MAX_LINE_LENGTH));
    if (this.#lines.length > MAX_LINES) this.#lines.shift();
  }

  describe(): string {
    return this.#lines.length === 0
      ? 'it wrote nothing to standard error'
      : `the last it wrote to standard error: ${this.#lines.join(' | ')}`;
  }
}
