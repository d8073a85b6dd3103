export * from './errors.ts';
export type * from './storage-driver.ts';
