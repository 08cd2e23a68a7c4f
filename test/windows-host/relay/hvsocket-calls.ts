import type { Handler } from "./session.ts";

/** What winsock.dll asks for. */
export const hvsocketCalls: { readonly [name: string]: Handler } = {
  hvsocketListen: async (session, socket = "", vmId = "", serviceId = "", port) => {
    await session.hvsockets.listen(socket, vmId.toLowerCase(), serviceId.toLowerCase(), Number(port));
    return undefined;
  },
  hvsocketStop: async (session, socket = "") => {
    session.hvsockets.stop(socket);
    return undefined;
  },
  hvsocketDial: async (session, vmId = "", serviceId = "") =>
    String(await session.hvsockets.dial(vmId.toLowerCase(), serviceId.toLowerCase())),
};
