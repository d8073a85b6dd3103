export type * from './ca-store.ts';
export { StoreDamagedError } from './errors.ts';
export type { FileFacts, FileOps, FileTimes, OpenFile, OpenMode } from './files.ts';
export { type OpenCaStoreOptions, openCaStore } from './open-ca-store.ts';
export { SharedFiles, type SharedFilesOptions, type SharedPieces } from './shared-files.ts';
