export { type NotificationEndpointConfig, type NotificationsConfig, NotificationsConfigSchema } from './config.ts';
export { type Notifications, type NotificationsDeps, openNotifications } from './notifications.ts';
export { notificationsOf, type ProgramNotificationsDeps } from './program-notifications.ts';
