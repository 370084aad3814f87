/** One container on one network through one interface. */
export interface Attachment {
  readonly containerId: string;
  readonly network: string;
  /** The name that the interface has in the container. */
  readonly ifname: string;
  /** Path of the container's network namespace, valid now. */
  readonly netns: string;
  /** SHA-512 of container, network and ifname: what our names and addresses are cut from. */
  readonly digest: string;
  /** SHA-512 of the network's name. */
  readonly networkDigest: string;
  /** SHA-512 of network and container in one text, of which the reference's plugins cut names: where they may be next. */
  readonly referenceDigest?: string;
  /** CNI_ARGS, key and value. */
  readonly args: ReadonlyMap<string, string>;
}
