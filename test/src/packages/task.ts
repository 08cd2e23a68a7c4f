/** What is checked, and with what. */
import type { Consumer } from "./consumer.ts";
import type { Runtimes } from "./runtimes.ts";
import type { Published, PublishedManifest } from "./tarballs.ts";

export interface Task {
  readonly consumer: Consumer;
  readonly packages: readonly Published[];
  readonly nodes: Runtimes;
  readonly step: (what: string) => void;
}

export interface Installed extends Published {
  readonly folder: string;
  readonly manifest: PublishedManifest;
  /** The oldest Node that it runs on. */
  readonly node: string;
}
