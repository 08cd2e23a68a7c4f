import type { Fields } from "./fields.ts";

/** The types of notifications, in the order of their numbers: those of hcsshim's protocol, and one of this project. */
export const notificationTypes = [
  "None",
  "GracefulExit",
  "ForcedExit",
  "UnexpectedExit",
  "Reboot",
  "Constructed",
  "Started",
  "Paused",
  "Unknown",
  // Not part of hcsshim's protocol; its hosts ignore it. The guest's kernel ran out of memory and killed a process.
  "OutOfMemory",
] as const;

/** One of `notificationTypes`. */
export type NotificationType = (typeof notificationTypes)[number];

/** An unsolicited message of a guest about a container. */
export interface ContainerNotification {
  readonly containerId: string;
  readonly activityId: string;
  readonly type: NotificationType;
  /** The operation in progress: "None", "Construct", "Start", "Pause", "Resume", "Shutdown", "Terminate". */
  readonly operation: string;
  /** HRESULT, unsigned; 0 for success. */
  readonly result: number;
}

/** The body of the message. `Result` is signed on the wire. */
export function encodeNotification(notification: ContainerNotification): unknown {
  return {
    ContainerId: notification.containerId,
    ActivityId: notification.activityId,
    Type: notification.type,
    Operation: notification.operation,
    Result: notification.result | 0,
    ResultInfo: "",
  };
}

/** Limited because ids and operations are logged with each notification. */
const longestId = 256;
const longestName = 64;

/** Undefined if the type of the notification is unknown. Throws a FieldError. */
export function readNotification(fields: Fields): ContainerNotification | undefined {
  const text = fields.text("Type");
  const type = notificationTypes.find((known) => known === text);
  if (type === undefined) return undefined;
  return {
    containerId: fields.text("ContainerId", longestId),
    activityId: fields.optionalText("ActivityId", longestName) ?? "",
    type,
    operation: fields.optionalText("Operation", longestName) ?? "None",
    result: (fields.has("Result") ? fields.result("Result") : 0) >>> 0,
  };
}
