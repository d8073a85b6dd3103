export { inPathOrder, type ListBelow } from './key-order.ts';
