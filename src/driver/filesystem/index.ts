export { createFilesystemDriver, FilesystemParametersSchema } from './filesystem-driver.ts';
