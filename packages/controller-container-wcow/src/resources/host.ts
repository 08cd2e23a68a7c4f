import { acquireOrRelease, type Step } from "@uvm-shim/lifecycle";
import type { CredentialGuardState } from "../document/container-document.ts";
import type { ContainerHostServices, ContainerNamespaces, ContainerVm, GuestContainer } from "../types.ts";

/** The steps that give a container a managed service account. */
export interface CredentialSteps {
  /** On the host, where the guard outlives the VM. */
  readonly guard: Step;
  /** Lets the VM reach the guard. The service's entry ends with the VM, as further guards may use the same. */
  readonly service: Step;
  readonly state: () => CredentialGuardState | undefined;
}

/** The credential guard of a container, by which it uses a group managed service account. */
export function credentialSteps(
  id: string,
  specification: string,
  services: ContainerHostServices,
  vm: ContainerVm,
): CredentialSteps {
  let guard: Awaited<ReturnType<ContainerHostServices["addCredentialGuard"]>> | undefined;
  return {
    guard: {
      name: "credential guard",
      async acquire(signal) {
        guard = await services.addCredentialGuard(id, specification, signal);
      },
      release: (signal) => services.removeCredentialGuard(id, signal),
    },
    service: {
      name: "service of the credential guard",
      async acquire(signal) {
        const service = guard?.HvSocketConfig;
        if (service === undefined) return;
        await vm.updateHvSocketService(service.ServiceId, service.ServiceConfig, signal);
      },
      release: async () => {},
    },
    state: () => guard?.CredentialGuard,
  };
}

/** Leads hvsockets that the host addresses to the container into its VM. */
export function redirectionStep(
  container: () => GuestContainer,
  services: ContainerHostServices,
  { runtimeId }: ContainerVm,
): Step {
  let redirection: { close(): Promise<void> } | undefined;
  return {
    name: "redirection of hvsockets",
    async acquire(signal = new AbortController().signal) {
      const systemId = await container().systemGuid(signal);
      const opening = services.redirectHvsockets(systemId, runtimeId, signal);
      redirection = await acquireOrRelease(opening, signal, (late) => late.close());
    },
    async release() {
      await redirection?.close();
      redirection = undefined;
    },
  };
}

/** The network namespace of a container that names none. `onAcquired` is told its id. */
export function namespaceStep(
  endpoints: readonly string[],
  namespaces: ContainerNamespaces,
  onAcquired: (namespace: string) => void,
): Step {
  let acquired: string | undefined;
  return {
    name: "network namespace",
    async acquire(signal) {
      acquired = await namespaces.acquire(endpoints, signal);
      onAcquired(acquired);
    },
    async release(signal) {
      if (acquired === undefined) return;
      await namespaces.release(acquired, signal);
      acquired = undefined;
    },
  };
}
