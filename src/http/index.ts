export * from './client.ts';
export * from './error-status.ts';
export * from './registry-program.ts';
export * from './service.ts';
