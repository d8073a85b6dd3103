/** Where distribution's layout begins in a storage driver, whatever the driver's own root is. */
export const ROOT_PATH = '/docker/registry/v2';

/** The directory of all repositories. */
export const REPOSITORIES_PATH = `${ROOT_PATH}/repositories` as const;

/** The directory of all blobs. */
export const BLOBS_PATH = `${ROOT_PATH}/blobs` as const;

/** The directory of what garbage collection has taken out of its place; distribution never looks there. */
export const QUARANTINE_PATH = `${ROOT_PATH}/quarantine` as const;
