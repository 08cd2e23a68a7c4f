import type { ComputeHost, ComputeSystem } from "@uvm-shim/hcs-bindings";
import { type Attributes, messageOf, observe, reportOccurrence } from "@uvm-shim/lifecycle";

type Describe = (...given: never[]) => Attributes;
type AsyncMethod = (...given: unknown[]) => Promise<unknown>;

/** What is told of a call beside its name; calls that are not listed have their first argument told, if it is a text. */
const details: Readonly<Record<string, Describe>> = {
  grantVmAccess: (_system: string, path: string) => ({ path }),
  joinNetworkNamespace: (_system: string, path: string) => ({ path }),
  joinControlGroup: (_system: string, path: string) => ({ path }),
  modify: ({ RequestType = "", ResourcePath }: { RequestType?: string; ResourcePath: string }) => ({
    request: RequestType,
    resource: ResourcePath,
  }),
  addCredentialGuard: (container: string) => ({ container }),
};

/** Reading the listener of a VM is a phase of the shim, which waits for the guest; closing waits for nothing. */
const unobserved: ReadonlySet<string> = new Set(["listen", "close"]);

/** The same host, whose calls observers are told of; and of its loss, while a VM of it is used. */
export function observedHost(host: ComputeHost): ComputeHost {
  const networks = observed(host.networks);
  const windows = observed(host.windows);
  let isClosed = false;
  const system = (made: ComputeSystem): ComputeSystem => observedSystem(made, () => isClosed);
  return observed(host, {
    networks,
    windows,
    createComputeSystem: async (...given) => system(await host.createComputeSystem(...given)),
    openComputeSystem: async (...given) => system(await host.openComputeSystem(...given)),
    close: () => {
      isClosed = true;
      return host.close();
    },
  });
}

function observedSystem(system: ComputeSystem, isHostClosed: () => boolean): ComputeSystem {
  let isClosed = false;
  system.exited.catch((error: unknown) => {
    if (!isClosed && !isHostClosed()) reportOccurrence("host service lost", { error: messageOf(error) });
  });
  return observed(system, {
    close: () => {
      isClosed = true;
      return system.close();
    },
  });
}

/** The same object, with some of its members in place of its own, and every call observed. */
function observed<T extends object>(target: T, own: Partial<T> = {}): T {
  const methods = new Map<string, unknown>();
  return new Proxy(target, {
    get: (_, key) => {
      const value: unknown = Reflect.get(key in own ? own : target, key);
      if (typeof key !== "string" || typeof value !== "function") return value;
      const known = methods.get(key);
      if (known !== undefined) return known;
      const call = value.bind(target) as AsyncMethod;
      const method = unobserved.has(key) ? call : observedMethod(key, call);
      methods.set(key, method);
      return method;
    },
  });
}

function observedMethod(name: string, call: AsyncMethod): AsyncMethod {
  return (...given) =>
    observe({ kind: "host-call", name, attributes: attributesOf(name, given) }, () => call(...given));
}

function attributesOf(name: string, given: readonly unknown[]): Attributes {
  const describe = details[name];
  if (describe !== undefined) return describe(...(given as never[]));
  return typeof given[0] === "string" ? { id: given[0] } : {};
}
