import type { ContainerCims } from "@uvm-shim/controller-container-wcow";
import { ControllerError } from "@uvm-shim/lifecycle";

function refuse(): Promise<never> {
  const message = "layers of block CIMs are not supported yet: expected windows-layer mounts";
  return Promise.reject(new ControllerError("Unimplemented", message, { operation: "mount", id: "layers" }));
}

/** Until there is a controller for them. */
export const noBlockCims: ContainerCims = { reserve: refuse, mapToGuest: refuse, unmapFromGuest: async () => {} };
