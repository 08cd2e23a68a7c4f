/** What `start` and `delete` ask of a sandboxer. Kept small: both load it. */
import net from "node:net";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { ShimError } from "../errors.ts";
import { uvmshim } from "../generated/messages.js";
import type { RuntimeOptions } from "../program/bootstrap.ts";
import type { PodName } from "./registry.ts";

const { Sandboxer } = uvmshim.sandboxer.v1;

/** containerd waits this long for `start`. In milliseconds. */
const hostMilliseconds = 10_000;
/** Within containerd's 5 s for `delete`. */
const releaseMilliseconds = 4000;

/** Has the sandboxer serve a pod. Throws Unavailable if it does not answer. */
export async function hostPod(
  control: string,
  pod: PodName & {
    readonly bundle: string;
    readonly socket: string;
    readonly debug: boolean;
    readonly ttrpcAddress: string;
    readonly grpcAddress: string;
    readonly flavour: string;
    /** What UVM_SHIM_HOST says. */
    readonly host: string;
    readonly runtimeOptions: RuntimeOptions | undefined;
  },
): Promise<void> {
  const { runtimeOptions: options, ...named } = pod;
  const runtimeOptions = options && { type_url: options.typeUrl, value: options.value };
  const request = { ...named, ...(runtimeOptions && { runtimeOptions }) };
  await asking(control, (client) => client.call(Sandboxer, "Host", request, { timeoutMs: hostMilliseconds }));
}

/** Has the sandboxer end what is left of a pod. Throws Unavailable if it does not answer. */
export async function releasePod(control: string, { namespace, id }: PodName): Promise<void> {
  const request = { namespace, id };
  await asking(control, (client) => client.call(Sandboxer, "Release", request, { timeoutMs: releaseMilliseconds }));
}

async function asking<T>(control: string, ask: (client: TtrpcClient) => Promise<T>): Promise<T> {
  const socket = net.connect(control);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", (cause) => {
      reject(new ShimError("Unavailable", `no sandboxer answers at ${control}: ${cause.message}`, { cause }));
    });
  });
  const client = new TtrpcClient(socket);
  try {
    return await ask(client);
  } finally {
    client.close();
  }
}
