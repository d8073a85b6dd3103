import type { PutObjectCommandInput } from '@aws-sdk/client-s3';
import type { S3Settings } from './parameters.ts';

/** What every object of the driver is written with. */
export type ObjectProperties = Pick<
  PutObjectCommandInput,
  'ACL' | 'ContentType' | 'ServerSideEncryption' | 'SSEKMSKeyId' | 'StorageClass'
>;

/** What the settings say about new objects; nothing is sent that a store would do by itself. */
export function objectProperties(settings: S3Settings): ObjectProperties {
  const { encrypt, keyid, objectacl, storageclass } = settings;
  return {
    ContentType: 'application/octet-stream',
    // The SDK names the values that it knows; a store may know others.
    ...(objectacl === undefined ? {} : { ACL: objectacl as NonNullable<ObjectProperties['ACL']> }),
    ...(['NONE', 'STANDARD'].includes(storageclass)
      ? {}
      : { StorageClass: storageclass as NonNullable<ObjectProperties['StorageClass']> }),
    ...(encrypt ? { ServerSideEncryption: keyid === undefined ? 'AES256' : 'aws:kms' } : {}),
    ...(encrypt && keyid !== undefined ? { SSEKMSKeyId: keyid } : {}),
  };
}
