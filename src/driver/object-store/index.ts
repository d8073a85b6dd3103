export { inPathOrder, type ListBelow } from './key-order.ts';
export { Removals } from './removals.ts';
export { type KeySource, listChildren, walkObjects } from './tree-listing.ts';
