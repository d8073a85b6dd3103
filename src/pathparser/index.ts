export type * from './registry-path.ts';
