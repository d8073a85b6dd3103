export { S3ParametersSchema } from './parameters.ts';
export { createS3Driver } from './s3-driver.ts';
