export * from './client.ts';
export * from './error-status.ts';
export * from './service.ts';
