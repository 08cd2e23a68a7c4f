import type { CallOptions } from "@uvm-shim/ttrpc";
import { ShimError } from "../errors.ts";
import { containerd } from "../generated/messages.js";
import type { RuntimeOptions } from "../program/bootstrap.ts";
import { checkIdentifier } from "../program/identifiers.ts";
import { architecture, exitFields, timestampOf } from "../services/messages.ts";
import type { HostedPod } from "./hosted-pod.ts";
import type { PodMakings } from "./pod-makings.ts";
import type { LostPod, PodName, PodRegistry } from "./registry.ts";

const { Controller } = containerd.services.sandbox.v1;
type Methods = typeof Controller.methods;
/** The name of one of the controller's methods. */
export type ControllerMethod = keyof Methods;
type Request<M extends ControllerMethod> = ReturnType<Methods[M]["request"]["decode"]>;
type Response<M extends ControllerMethod> = Parameters<Methods[M]["response"]["encode"]>[0];

/** One call of containerd. */
export interface ControllerCall {
  readonly namespace: string;
  /** Trace context, to be passed on. */
  readonly metadata: NonNullable<CallOptions["metadata"]>;
  readonly signal: AbortSignal;
}

/** All of the controller's methods. */
export type ControllerHandlers = {
  readonly [M in ControllerMethod]: (request: Request<M>, call: ControllerCall) => Promise<Response<M>>;
};

/** A pod that containerd asks for. */
export interface NewPod {
  readonly name: PodName;
  readonly runtimeOptions?: RuntimeOptions;
  /** The content of its config.json; absent for a pod of CRI. */
  readonly configuration?: Uint8Array;
}

/** What the controller's methods are made from. */
export interface ControllerServiceOptions {
  readonly registry: PodRegistry<HostedPod>;
  readonly os: "linux" | "windows";
  /** Makes a pod that is not opened yet, in a bundle of the sandboxer's own. */
  readonly makePod: (pod: NewPod) => HostedPod;
  /** Other work waits while a pod is being made. */
  readonly whileMaking: <T>(work: () => Promise<T>) => Promise<T>;
  /** Which pods may be made now. */
  readonly makings: Pick<PodMakings, "begin" | "settle" | "end">;
  readonly bundleOf: (name: PodName) => string;
  /** The address of a pod's Task service, as containerd dials it. */
  readonly addressOf: (pod: HostedPod) => string;
}

/** The version of the Task service that pods serve. */
const taskVersion = 3;

/**
 * containerd's service of a sandbox controller: each call becomes one of the pod's own Sandbox service. A pod whose VM was
 * lost with an earlier sandboxer is not ready, has ended, and can be stopped and shut down.
 */
export function controllerHandlers(options: ControllerServiceOptions): ControllerHandlers {
  const { registry, whileMaking, makings } = options;

  /** Throws NotFound, by which containerd learns that a sandbox is gone. */
  const require = (name: PodName): HostedPod | LostPod => {
    const entry = registry.find(name);
    switch (entry?.kind) {
      case "serving":
        return entry.pod;
      case "lost":
        return entry.lost;
      case "opening":
        throw new ShimError("FailedPrecondition", `sandbox ${name.id} is being created`);
      case "closing":
      case undefined:
        throw new ShimError("NotFound", `sandbox ${name.id} does not exist in namespace ${name.namespace}`);
    }
  };

  /** What is answered of a pod that fails during the call. */
  const orIfLost = async <T, L>(
    name: PodName,
    call: () => Promise<T>,
    answer: (lost: LostPod) => L | Promise<L>,
  ): Promise<T | L> => {
    try {
      return await call();
    } catch (error) {
      const entry = registry.find(name);
      if (entry?.kind !== "lost") throw error;
      return await answer(entry.lost);
    }
  };

  return {
    Create: async (request, { namespace, metadata, signal }) => {
      const id = checkIdentifier("create sandbox: sandbox_id", request.sandboxId);
      const name = { namespace, id };
      const { sandbox } = request;
      const runtime = sandbox?.runtime?.options;
      const runtimeOptions =
        runtime == null || runtime.type_url === ""
          ? undefined
          : { typeUrl: runtime.type_url, value: Uint8Array.from(runtime.value) };
      const specification = sandbox?.spec?.value;
      const configuration = specification === undefined || specification.length === 0 ? undefined : specification;
      const newPod = { name, ...(runtimeOptions && { runtimeOptions }), ...(configuration && { configuration }) };
      await makings.begin(name, signal);
      const make = async (): Promise<void> => {
        const pod = await registry.open(name, () => options.makePod(newPod));
        try {
          const { rootfs, options: podOptions, netnsPath, annotations } = request;
          const bundlePath = options.bundleOf(name);
          const creation = { sandboxId: id, bundlePath, rootfs, options: podOptions, netnsPath, annotations };
          await pod.call("CreateSandbox", creation, { metadata, signal });
        } catch (error) {
          await registry.release(name, "its sandbox could not be created");
          throw error;
        }
      };
      try {
        await whileMaking(make);
      } catch (error) {
        makings.end(name);
        throw error;
      }
      return { sandboxId: id };
    },
    Start: async ({ sandboxId: id }, { namespace, metadata, signal }) => {
      const pod = require({ namespace, id });
      if ("forget" in pod) throw new ShimError("FailedPrecondition", `start sandbox ${id}: ${lostBecause}`);
      // containerd shuts down no sandbox whose start has failed.
      const { pid, createdAt, spec } = await whileMaking(async () => {
        try {
          return await pod.call("StartSandbox", { sandboxId: id }, { metadata, signal });
        } catch (error) {
          await registry.release({ namespace, id }, "its sandbox could not be started");
          makings.end({ namespace, id });
          throw error;
        }
      });
      makings.settle({ namespace, id });
      const address = options.addressOf(pod);
      return { sandboxId: id, pid, createdAt, address, version: taskVersion, ...(spec && { spec }) };
    },
    Platform: async () => ({ platform: { os: options.os, architecture: architecture() } }),
    Stop: async ({ sandboxId: id, timeoutSecs }, { namespace, metadata, signal }) => {
      // As containerd's own controller: what is gone has stopped, and so has what is going.
      const entry = registry.find({ namespace, id });
      if (entry === undefined || entry.kind === "closing") return {};
      const pod = require({ namespace, id });
      if ("forget" in pod) return {};
      const stop = () => pod.call("StopSandbox", { sandboxId: id, timeoutSecs }, { metadata, signal });
      await orIfLost({ namespace, id }, stop, () => ({}));
      return {};
    },
    Wait: async ({ sandboxId: id }, { namespace, metadata, signal }) => {
      const pod = require({ namespace, id });
      if ("forget" in pod) return exitFields(pod.exit);
      const wait = () => pod.call("WaitSandbox", { sandboxId: id }, { metadata, signal });
      const { exitStatus, exitedAt } = await orIfLost({ namespace, id }, wait, ({ exit }) => exitFields(exit));
      return { exitStatus, exitedAt };
    },
    Status: async ({ sandboxId: id, verbose }, { namespace, metadata, signal }) => {
      const pod = require({ namespace, id });
      if ("forget" in pod) return statusOfLost(id, pod, verbose);
      const status = await pod.call("SandboxStatus", { sandboxId: id, verbose }, { metadata, signal });
      return { ...status, address: options.addressOf(pod), version: taskVersion };
    },
    Shutdown: async ({ sandboxId: id }, { namespace, metadata, signal }) => {
      const name = { namespace, id };
      const pod = require(name);
      if ("forget" in pod) await registry.release(name, "shutdown");
      else {
        const shutDown = () => pod.call("ShutdownSandbox", { sandboxId: id }, { metadata, signal });
        await orIfLost(name, shutDown, () => registry.release(name, "shutdown"));
        // Its name is free, and nothing of it left, when containerd has the answer.
        await registry.close(name);
      }
      return {};
    },
    Metrics: async ({ sandboxId: id }, { namespace, metadata, signal }) => {
      const pod = require({ namespace, id });
      if ("forget" in pod) throw new ShimError("FailedPrecondition", `metrics of sandbox ${id}: ${lostBecause}`);
      const { metrics } = await pod.call("SandboxMetrics", { sandboxId: id }, { metadata, signal });
      return { metrics };
    },
    Update: async ({ sandboxId: id, fields }, { namespace }) => {
      require({ namespace, id });
      throw new ShimError(
        "Unimplemented",
        `update sandbox ${id}: fields ${fields.join(", ") || "(none)"} cannot be changed while it runs`,
      );
    },
  };
}

const lostBecause = "its VM ended with the sandboxer that served it, or with a failure of the pod's own";

function statusOfLost(id: string, { createdAt, exit }: LostPod, verbose: boolean): Response<"Status"> {
  const info = verbose ? { state: "stopped", reason: lostBecause } : {};
  const { exitedAt } = exitFields(exit);
  return {
    sandboxId: id,
    state: "SANDBOX_NOTREADY",
    createdAt: timestampOf(createdAt),
    info,
    exitedAt: exitedAt ?? null,
  };
}
