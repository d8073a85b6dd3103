export type * from './image-transferer.ts';
