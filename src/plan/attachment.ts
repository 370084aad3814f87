/** One interface of a container on a network. */
export interface Attachment {
  readonly containerId: string;
  readonly network: string;
  /** The interface's name in the container. */
  readonly ifname: string;
  /** The path of the container's network namespace; it exists now. */
  readonly netns: string;
  /** SHA-512 of container, network and ifname. Names of links and MAC addresses are derived from it. */
  readonly digest: string;
  /** SHA-512 of the network's name. */
  readonly networkDigest: string;
  /** SHA-512 of network and container concatenated. The reference's plugins derive names from it. */
  readonly referenceDigest?: string;
  /** Where networks of our own containers reserve addresses that name no directory: a CNI runtime's do it elsewhere. */
  readonly leases?: string;
  /** The pairs of CNI_ARGS. */
  readonly args: ReadonlyMap<string, string>;
}
