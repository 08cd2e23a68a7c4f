import { statSync } from "node:fs";
import { stat, statfs } from "node:fs/promises";
import { basename, isAbsolute } from "node:path";
import type { HcnRoute } from "@uvm-shim/hcs-schema";
import { type NetworkNamespace, openNetworkNamespace } from "@uvm-shim/linux-calls";
import { HcsFailure } from "../hcs-failure.ts";
import { announceNic, withdrawNic } from "../process-guest/joined-networks.ts";
import { runIp } from "./ip.ts";
import type { AdoptedInterface } from "./network-service.ts";
import type { VirtualSwitch } from "./switches.ts";

/** File system type of namespace files (nsfs). */
const nsfs = 0x6e736673;
const macPattern = /^(?!00:00:00:00:00:00)[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;
const largestMetric = 0xffff;

/** Used fields of `ip -json`. */
interface PrintedInterface {
  readonly ifname: string;
  readonly address?: string;
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number; readonly scope?: string }[];
}
interface PrintedRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly metric?: number;
  readonly protocol?: string;
}

/**
 * A network namespace of this machine that was set up elsewhere, for example by CNI plugins. It is only read, never
 * changed; containers of the guest join it.
 */
export class JoinedNamespace {
  readonly #namespace: NetworkNamespace;
  readonly #given: string;

  private constructor(namespace: NetworkNamespace, given: string) {
    this.#namespace = namespace;
    this.#given = given;
  }

  /** Throws an HcsFailure unless the path is a network namespace other than this machine's own. */
  static async open(path: string): Promise<JoinedNamespace> {
    await checkPath(path);
    const namespace = openNetworkNamespace(path);
    try {
      // Checks the opened file: the path may already lead elsewhere, for example after a pid was reused.
      checkOther(namespace.path, path);
    } catch (error) {
      namespace.close();
      throw error;
    }
    try {
      namespace.run(() => {});
    } catch (cause) {
      namespace.close();
      const message = `path: ${path} is a namespace of another type: expected a network namespace`;
      throw new HcsFailure("E_INVALIDARG", message, { cause });
    }
    return new JoinedNamespace(namespace, path);
  }

  /** The last part of its path. */
  get name(): string {
    return basename(this.#given);
  }

  /** A path that stays valid even if the original path does not. */
  get path(): string {
    return this.#namespace.path;
  }

  /** Interfaces that can become NICs of a VM: those with a MAC address and an IP address. */
  async interfaces(): Promise<readonly AdoptedInterface[]> {
    const [links, routes, routes6] = await Promise.all([
      this.#ip<PrintedInterface>("address", "show"),
      this.#ip<PrintedRoute>("-4", "route", "show"),
      this.#ip<PrintedRoute>("-6", "route", "show"),
    ]);
    return links.flatMap(({ ifname: name, address = "", addr_info = [] }) => {
      const IpConfigurations = addr_info.flatMap(({ local, prefixlen, scope }) =>
        local === undefined || prefixlen === undefined || scope !== "global"
          ? []
          : [{ IpAddress: local, PrefixLength: prefixlen }],
      );
      if (!macPattern.test(address) || IpConfigurations.length === 0) return [];
      const MacAddress = address.replaceAll(":", "-").toUpperCase();
      const Routes = [...routesOf(name, routes, 4), ...routesOf(name, routes6, 6)];
      return [{ name, settings: { MacAddress, IpConfigurations, Routes }, leadsTo: standing(name) }];
    });
  }

  /** Closes the namespace file; the namespace itself belongs to its creator. Idempotent. */
  close(): void {
    this.#namespace.close();
  }

  async #ip<T>(...words: readonly string[]): Promise<readonly T[]> {
    return JSON.parse((await runIp(this.#namespace, ["-json", ...words])) || "[]") as readonly T[];
  }
}

/** Checks before opening: the file system may hang, and opening a FIFO waits for a writer. */
async function checkPath(path: string): Promise<void> {
  const refuse = (why: string): HcsFailure => new HcsFailure("E_INVALIDARG", `path: ${path} ${why}`);
  if (!isAbsolute(path)) throw refuse("is relative: expected an absolute path");
  const found = await stat(path).catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    const isMissing = code === "ENOENT" || code === "ENOTDIR";
    throw isMissing ? new HcsFailure("ERROR_FILE_NOT_FOUND", `path: ${path} does not exist`) : refuse(String(cause));
  });
  if (!found.isFile() || (await statfs(path)).type !== nsfs) {
    throw refuse("is not a namespace: expected a network namespace, for example one of CNI plugins");
  }
}

function checkOther(opened: string, path: string): void {
  const found = statSync(opened);
  // Synchronous, so that this thread cannot have entered another namespace.
  const own = statSync("/proc/self/ns/net");
  if (found.dev !== own.dev || found.ino !== own.ino) return;
  const why = "is the network namespace of this machine: expected one that was made for the pod";
  throw new HcsFailure("E_INVALIDARG", `path: ${path} ${why}`);
}

/** Omits routes that the kernel derives from the addresses. */
function routesOf(name: string, printed: readonly PrintedRoute[], family: 4 | 6): readonly HcnRoute[] {
  const [everywhere, bits] = family === 4 ? ["0.0.0.0/0", 32] : ["::/0", 128];
  return printed
    .filter(({ dev, protocol }) => dev === name && protocol !== "kernel")
    .map(({ dst, gateway = "", metric = 0 }) => ({
      DestinationPrefix: dst === "default" ? everywhere : dst.includes("/") ? dst : `${dst}/${bits}`,
      ...(gateway === "" ? {} : { NextHop: gateway }),
      ...(metric === 0 || metric > largestMetric ? {} : { Metric: metric }),
    }));
}

/** The interface is already connected in the namespace; the guest is only notified of it. */
function standing(interfaceName: string): VirtualSwitch {
  return {
    plug: async ({ pid, interfaceName: nic }) => {
      announceNic(pid, nic, interfaceName);
      return { disconnect: async () => {}, remove: async () => withdrawNic(pid, nic) };
    },
    plugTap: async () => {
      const message = `the interface ${interfaceName} is in a network namespace of this machine, which a virtual machine cannot join`;
      throw new HcsFailure("ERROR_NOT_SUPPORTED", message);
    },
  };
}
