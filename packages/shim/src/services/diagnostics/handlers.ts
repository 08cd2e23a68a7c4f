import type { implement } from "@uvm-shim/ttrpc";
import type { containerd, uvmshim } from "../../generated/messages.js";
import type { Diagnostics } from "./diagnostics.ts";
import type { DiagnosticParts } from "./parts.ts";

/** Most shims are never diagnosed: the code that does it is loaded with the first call. */
export function loadingDiagnostics(
  parts: DiagnosticParts,
  load = () => import("./diagnostics.ts"),
): () => Promise<Diagnostics> {
  let loading: Promise<Diagnostics> | undefined;
  return () => {
    loading ??= load().then(
      ({ Diagnostics }) => new Diagnostics(parts),
      (error: unknown) => {
        // There may be no descriptor left for the moment.
        loading = undefined;
        throw error;
      },
    );
    return loading;
  };
}

/** The service of upstream's shimdiag; what answers is loaded with the first call. */
export function shimDiagHandlers(load: () => Promise<Diagnostics>) {
  return {
    DiagExecInHost: async (request, { signal }) => (await load()).shimDiag.execInHost(request, signal),
    DiagStacks: async (_, { signal }) => (await load()).shimDiag.stacks(signal),
    DiagTasks: async (request) => (await load()).shimDiag.tasks(request),
    DiagShare: async (request, { signal }) => (await load()).shimDiag.share(request, signal),
    DiagPid: async () => (await load()).shimDiag.pid(),
  } satisfies Parameters<typeof implement<typeof containerd.runhcs.v1.diag.ShimDiag>>[1];
}

/** This project's own service for diagnosis; what answers is loaded with the first call. */
export function inspectHandlers(load: () => Promise<Diagnostics>) {
  return {
    Metadata: async () => (await load()).inspect.metadata(),
    State: async () => (await load()).inspect.state(),
    Events: async (request, { signal }) => (await load()).inspect.records("events", request, signal),
    Log: async (request, { signal }) => (await load()).inspect.records("log", request, signal),
    Dump: async () => (await load()).inspect.dump(),
    DumpVm: async (_, { signal }) => (await load()).inspect.dumpVm(signal),
  } satisfies Parameters<typeof implement<typeof uvmshim.diagnostics.v1.Inspect>>[1];
}
