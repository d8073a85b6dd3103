export type { AccessControl, Action, Caller, Need } from './access.ts';
export { purgeOptionsOf, type RegistryConfig, RegistryConfigSchema, registryOptionsOf } from './config.ts';
export { driverUploads } from './driver-uploads.ts';
export { renderErrorTable } from './error-mapper.ts';
export { AccessDeniedError, AuthenticationRequiredError } from './errors.ts';
export type { EventSink, RegistryDeed, RegistryEvent } from './events.ts';
export { healingDriver } from './healing-driver.ts';
export { type RegistryOptions, registerRegistry, type UploadOptions } from './registry.ts';
export type { UploadAnswer, UploadForwarder, UploadRequest } from './upload-forwarder.ts';
export {
  purgeUploads,
  startUploadPurge,
  type UnfinishedUpload,
  type UnfinishedUploads,
  type UploadPurgeOptions,
  type UploadPurgeResult,
} from './upload-purge.ts';
