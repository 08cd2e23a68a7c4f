import type { CredentialGuardInstance, TimeZoneInformation } from "@uvm-shim/hcs-schema";
import type { HvsocketRedirection, WindowsGuestServices } from "../../types.ts";
import { type Subject, unlessAborted } from "../compute/call-results.ts";
import type { ComputeService } from "../compute/compute-service.ts";
import { hostClosed } from "../native/close-reason.ts";
import { kernelFunctions } from "../native/kernel-functions.ts";
import type { LibraryPaths } from "../native/libraries.ts";
import type { NativeMachine } from "../native/native-types.ts";
import { PendingCalls } from "../native/pending-calls.ts";
import type { VirtualDisks } from "../virtual-disks.ts";
import { CredentialGuards } from "./credential-guards.ts";
import { ContainerLayers } from "./layers.ts";
import { HvsocketRedirections } from "./redirections.ts";
import { timeZoneOf } from "./time-zone.ts";

/** The rest of the driver that these services use. */
export interface GuestServiceParts {
  readonly machine: NativeMachine;
  readonly paths: LibraryPaths;
  readonly service: ComputeService;
  readonly disks: VirtualDisks;
}

/** The guest services of a host, which end with it. */
export interface DriverGuestServices extends WindowsGuestServices {
  /** Ends redirections; resolves when all calls have returned. */
  close(): Promise<void>;
}

/** The guest services of Windows, each by the DLL or device that has it. */
export function windowsGuestServices({ machine, paths, service, disks }: GuestServiceParts): DriverGuestServices {
  const kernel = machine.library(paths.kernel32, kernelFunctions);
  const guards = new CredentialGuards(service);
  const adding = new PendingCalls();
  const layers = new ContainerLayers(machine, paths);
  const redirections = new HvsocketRedirections(kernel);
  return {
    addCredentialGuard(containerId, specification, signal): Promise<CredentialGuardInstance> {
      const subject = { operation: "add credential guard of container", id: containerId };
      const work = async (): Promise<CredentialGuardInstance> => {
        const guard = await guards.add(subject, containerId, specification);
        // Nobody else would remove it.
        if (signal?.aborted) await guards.remove(subject, containerId);
        signal?.throwIfAborted();
        return guard;
      };
      return unlessAborted(signal, subject, () => adding.call(subject, work));
    },
    credentialGuards(signal): Promise<readonly CredentialGuardInstance[]> {
      const subject = { operation: "list credential guards of", id: "all containers" };
      return unlessAborted(signal, subject, () => guards.list(subject));
    },
    removeCredentialGuard(containerId, signal): Promise<void> {
      const subject = { operation: "remove credential guard of container", id: containerId };
      return unlessAborted(signal, subject, () => guards.remove(subject, containerId));
    },
    redirectHvsockets(systemId, vmId, signal): Promise<HvsocketRedirection> {
      const subject = { operation: `redirect hvsockets to compute system ${vmId} of container`, id: systemId };
      const work = async (): Promise<HvsocketRedirection> => redirections.open(subject, systemId, vmId);
      return unlessAborted(signal, subject, work, (redirection) => redirection.close());
    },
    layerId(name, signal): Promise<string> {
      const subject = { operation: "find id of layer", id: name };
      return unlessAborted(signal, subject, () => layers.idOf(subject, name));
    },
    createScratchLayer(path, parents, signal): Promise<void> {
      const subject: Subject = { operation: "create scratch layer", id: path };
      return unlessAborted(signal, subject, () => layers.createScratch(subject, path, parents));
    },
    setDiskIdentifier: (path, id, signal) => disks.setIdentifier(path, id, signal),
    grantVmGroupAccess: (path, signal) => service.grantVmGroupAccess(path, signal),
    timeZone(signal): Promise<TimeZoneInformation> {
      const subject = { operation: "read time zone of", id: "this machine" };
      return unlessAborted(signal, subject, async () => timeZoneOf(kernel, subject));
    },
    async close(): Promise<void> {
      redirections.close();
      await Promise.all([adding.end(hostClosed), layers.close()]);
    },
  };
}
