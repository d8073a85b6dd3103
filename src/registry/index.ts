export { renderErrorTable } from './error-mapper.ts';
export { type RegistryOptions, registerRegistry, type UploadOptions } from './registry.ts';
