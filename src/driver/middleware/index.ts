export * from './redirecting.ts';
export * from './regulated.ts';
export * from './retrying.ts';
export * from './timed.ts';
