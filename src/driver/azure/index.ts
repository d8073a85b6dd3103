export { createAzureDriver } from './azure-driver.ts';
export { AzureParametersSchema } from './parameters.ts';
