export { type AccessConfig, AccessConfigSchema } from './config.ts';
export { type AccessDeps, openAccess } from './open-access.ts';
