export { deleteAll } from './delete-all.ts';
export { inPathOrder, type ListBelow } from './key-order.ts';
export { Removals } from './removals.ts';
export { ResumedStream } from './resumed-stream.ts';
export { type KeySource, listChildren, walkObjects } from './tree-listing.ts';
