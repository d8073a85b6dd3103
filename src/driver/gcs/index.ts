export { createGcsDriver } from './gcs-driver.ts';
export { GcsParametersSchema } from './parameters.ts';
