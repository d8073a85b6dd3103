export * from './errors.ts';
export * from './format-path.ts';
export * from './parse-path.ts';
export * from './quarantine-path.ts';
export type * from './registry-path.ts';
export * from './roots.ts';
export * from './upload-id.ts';
