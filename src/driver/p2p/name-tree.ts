/**
 * The names directly below a prefix, in order of their bytes and each once, out of whole names in order of theirs.
 *
 * The two orders differ: `app`, `app-extra`, `app/x` is the order of names, because "-" and "." come before "/", so that a
 * directory may show up behind siblings that it sorts before. Only names with the same stem (up to the first "-" or ".")
 * can be mixed up like that, and they stand together; so one stem at a time is held and sorted.
 *
 * @param names in order of their bytes; those without the prefix are passed over
 * @param prefix empty, or ending in a slash
 */
export async function* childComponents(names: AsyncIterable<string>, prefix: string): AsyncIterable<string> {
  let stem: string | undefined;
  let held = new Set<string>();
  for await (const name of names) {
    if (!name.startsWith(prefix)) {
      if (name > prefix) break;
      continue;
    }
    const component = name.slice(prefix.length).split('/', 1)[0]!;
    if (stemOf(component) !== stem) {
      yield* [...held].sort();
      held = new Set();
      stem = stemOf(component);
    }
    held.add(component);
  }
  yield* [...held].sort();
}

/** A component up to its first "-" or ".". */
export function stemOf(component: string): string {
  const end = component.search(/[-.]/);
  return end < 0 ? component : component.slice(0, end);
}
