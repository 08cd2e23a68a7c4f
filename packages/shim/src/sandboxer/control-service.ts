import { implement, TtrpcServer } from "@uvm-shim/ttrpc";
import { ShimError, translateError } from "../errors.ts";
import { uvmshim } from "../generated/messages.js";
import type { Log } from "../platform.ts";
import type { RuntimeOptions } from "../program/bootstrap.ts";
import { checkIdentifier } from "../program/identifiers.ts";
import type { HostedPod } from "./hosted-pod.ts";
import type { PodMakings } from "./pod-makings.ts";
import type { PodName, PodRegistry } from "./registry.ts";

/** A pod in a bundle of containerd's, as `start` hands it over. */
export interface HandedPod {
  readonly name: PodName;
  readonly bundle: string;
  readonly socket: string;
  readonly debug: boolean;
  readonly ttrpcAddress: string;
  readonly grpcAddress: string;
  readonly runtimeOptions?: RuntimeOptions;
}

/** What the control service is made from. */
export interface ControlServiceOptions {
  readonly registry: PodRegistry<HostedPod>;
  readonly flavour: string;
  /** What UVM_SHIM_HOST says. */
  readonly host: string;
  /** What UVM_SHIM_GUEST says. */
  readonly guest: string;
  readonly pid: number;
  readonly makePod: (pod: HandedPod) => HostedPod;
  /** Other work waits while a pod is being made. */
  readonly whileMaking: <T>(work: () => Promise<T>) => Promise<T>;
  /** Which pods may be made now. */
  readonly makings: Pick<PodMakings, "begin" | "end">;
  readonly log: Log;
}

/** What pods boot where nothing is said. An earlier `start` says nothing. */
const usualGuest = "process";

/** The service by which `start` hands pods over and `delete` gives them up. */
export function controlServer(options: ControlServiceOptions): TtrpcServer {
  const { registry, flavour, host, guest, pid, log } = options;
  return new TtrpcServer({
    services: [
      implement(uvmshim.sandboxer.v1.Sandboxer, {
        Host: async (request, { signal }) => {
          if (request.flavour !== flavour) {
            throw new ShimError(
              "InvalidArgument",
              `host pod ${request.id}: it is of flavour ${request.flavour}, and this sandboxer serves ${flavour}`,
            );
          }
          for (const [variable, given, own] of [
            ["UVM_SHIM_HOST", request.host, host],
            ["UVM_SHIM_GUEST", request.guest || usualGuest, guest || usualGuest],
          ]) {
            if (given === own) continue;
            throw new ShimError(
              "FailedPrecondition",
              `host pod ${request.id}: ${variable} is ${JSON.stringify(given)}, and ${JSON.stringify(own)} for this sandboxer: expected the same`,
            );
          }
          const { bundle, socket, debug, ttrpcAddress, grpcAddress, runtimeOptions } = request;
          const given = runtimeOptions && {
            typeUrl: runtimeOptions.type_url,
            value: Uint8Array.from(runtimeOptions.value),
          };
          const name = nameOf(request, "host pod");
          const pod = { name, bundle, socket, debug, ttrpcAddress, grpcAddress };
          await options.makings.begin(name, signal);
          try {
            await options.whileMaking(() =>
              registry.open(name, () => options.makePod({ ...pod, ...(given && { runtimeOptions: given }) })),
            );
          } catch (error) {
            options.makings.end(name);
            throw error;
          }
          return { pid };
        },
        Release: async (request) => {
          await registry.release(nameOf(request, "release pod"), "its deletion");
          return {};
        },
      }),
    ],
    interceptor: async (_context, next) => {
      try {
        return await next();
      } catch (error) {
        throw translateError(error);
      }
    },
    onError: (error) => log.log("debug", "control connection failed", { error }),
  });
}

function nameOf({ namespace, id }: { readonly namespace: string; readonly id: string }, what: string): PodName {
  return {
    namespace: checkIdentifier(`${what}: namespace`, namespace),
    id: checkIdentifier(`${what}: id`, id),
  };
}
