/** Writes the pages of docs/ that are made from the code. A test checks that they are fresh. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderPages } from './docs-pages.ts';

const docs = join(import.meta.dirname, '..', 'docs');
for (const [name, text] of await renderPages()) {
  await writeFile(join(docs, name), text);
  console.log(`wrote docs/${name}`);
}
