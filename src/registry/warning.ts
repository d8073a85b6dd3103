/** All warnings of one answer together (OCI distribution specification, "Warnings"). */
const WARNINGS_MAX_BYTES = 4_096;
const PREFIX = '299 - ';

/**
 * The values of `Warning` for texts that a client shows its user: `299 - "<text>"` each, without a date. What does not fit is
 * cut or left out; what may not stand in a quoted string of a header becomes a space.
 */
export function formatWarnings(texts: readonly string[]): string[] {
  const values: string[] = [];
  let left = WARNINGS_MAX_BYTES;
  for (const text of texts) {
    const room = left - PREFIX.length - 2;
    if (room <= 0) break;
    const value = `${PREFIX}"${quotable(text, room)}"`;
    values.push(value);
    left -= value.length;
  }
  return values;
}

/** RFC 9110, section 5.6.4; nothing but ASCII, so that a character is a byte. */
function quotable(text: string, maxLength: number): string {
  let quoted = '';
  for (const character of text.replace(/[^\x20-\x7e]/g, ' ')) {
    const next = character === '"' || character === '\\' ? `\\${character}` : character;
    if (quoted.length + next.length > maxLength) break;
    quoted += next;
  }
  return quoted;
}
