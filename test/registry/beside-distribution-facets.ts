import type { PlainAnswer } from './plain-request.ts';

/** Said by each server of its own accord, whatever is asked; not compared. */
const alwaysDifferent: ReadonlySet<string> = new Set(['date']);

/**
 * In what two answers differ, ids, and what is derived from something that differs by itself, left out:
 * - `status <ours>/<theirs>`
 * - `codes <ours>/<theirs>`: of error bodies, which are alike when their codes are
 * - `body`: both answer well, with other bytes; or one has an error body, and the other something else
 * - `header <name>`: one has it, the other does not; or both, with other values
 */
export function facetsOf(ours: PlainAnswer, theirs: PlainAnswer): Set<string> {
  const facets = new Set<string>();
  if (ours.status !== theirs.status) facets.add(`status ${ours.status}/${theirs.status}`);
  const [ourCodes, theirCodes] = [codesOf(ours.body), codesOf(theirs.body)];
  if (ourCodes !== undefined && theirCodes !== undefined) {
    if (ourCodes !== theirCodes) facets.add(`codes ${ourCodes}/${theirCodes}`);
  } else if (normalised(ours.body.toString('latin1')) !== normalised(theirs.body.toString('latin1'))) {
    facets.add('body');
  }
  // A length follows from its body, and says something by itself only where there is no body to compare.
  const sameBody = ours.body.equals(theirs.body) && ours.status === theirs.status;
  for (const name of new Set([...ours.headers.keys(), ...theirs.headers.keys()])) {
    if (alwaysDifferent.has(name) || (name === 'content-length' && !sameBody)) continue;
    const [mine, their] = [ours.headers.get(name), theirs.headers.get(name)];
    if (normalised(mine) !== normalised(their)) facets.add(`header ${name}`);
  }
  return facets;
}

function codesOf(body: Buffer): string | undefined {
  try {
    const { errors } = JSON.parse(body.toString()) as { errors?: { code: string }[] };
    return errors?.map((entry) => entry.code).join('+');
  } catch {
    return undefined; // No JSON: no error body.
  }
}

/** Without ids of uploads and boundaries, which are random. */
function normalised(text: string | undefined): string | undefined {
  return text
    ?.replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'ID')
    .replaceAll(/(boundary=|--)[0-9a-f]{30,}/g, '$1BOUNDARY');
}
