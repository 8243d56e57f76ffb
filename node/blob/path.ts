// Where a store keeps its blobs: in 256 folders by the first byte of the hash.
import { join } from 'node:path';

/** @param folder the store's, in a node its data folder. */
export const blobsFolder = (folder: string): string => join(folder, 'blobs');

export const blobFile = (folder: string, sha256: string): string =>
  join(blobsFolder(folder), sha256.slice(0, 2), sha256);
