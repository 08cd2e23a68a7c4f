import net from "node:net";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { containerd } from "../../generated/messages.js";
import { timestampOf } from "../messages.ts";
import type { EventSink } from "./events.ts";

/** Connects to containerd's event service; `address` is TTRPC_ADDRESS. */
export async function connectEvents(address: string, namespace: string): Promise<EventSink> {
  const socket = net.connect(address.replace(/^unix:\/\//, ""));
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  const client = new TtrpcClient(socket);
  return {
    forward: async ({ timestamp, topic, typeUrl, event }, timeoutMs) => {
      const envelope = {
        timestamp: timestampOf(timestamp),
        namespace,
        topic,
        event: { type_url: typeUrl, value: event },
      };
      await client.call(containerd.services.events.ttrpc.v1.Events, "Forward", { envelope }, { timeoutMs });
    },
    close: () => void client.close(),
  };
}
