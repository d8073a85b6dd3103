export type * from './ca-store.ts';
