export { createIpcDriver } from './create.ts';
export { IpcParametersSchema } from './parameters.ts';
export { type ServedDriver, type ServeOptions, serveDriver } from './serve.ts';
export { serveDriverProcess } from './serve-process.ts';
