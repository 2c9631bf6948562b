// Copyright 2026 The aitable authors. SPDX-License-Identifier: Apache-2.0
// Every word that the page shows. To translate it, translate this file.

export const text = {
  picture: 'What it sees',
  people: 'Who is there',
  nobody: 'Nobody is there.',
  curves: 'The last minutes',
  whose: 'Person',
  csv: 'Download as CSV',
  control: 'Control',
  nodes: 'How the nodes are',
  hint: 'Hints for a table: no medical or ergonomic statement.',
  doorLabel: 'The table does not answer, or wants the token that its terminal shows:',
  doorButton: 'Open',
  connecting: 'connecting …',
  connected: 'connected',
  lost: 'not connected: trying again',
  silent: s => `no readings for ${s} s`,
  left: s => `left ${s} s ago`,
  pictureOf: privacy => `Live picture; ${privacies[privacy]}`,
  noPicture: 'No picture comes: the camera images do not reach this page.',
  noImage: 'This table shows no pictures.',
  noCurves: 'Numbers instead of curves: uPlot is not installed. On the table: ' +
    'ros2 run aitable_ros fetch_charts, then start the page again.',
  noReading: 'no reading',
  notMeasured: 'not measured',
  perclosUnready: s => `not yet: ${s} s seen`,
  ofSeconds: s => `of ${s} s`,
  perMinute: n => `${n}/min`,
  looksFor: (zone, s, why) => `${zone} for ${s} s (${why})`,
  closedFor: s => `closed for ${s} s`,
  latest: 'now', least: 'least', mean: 'mean', most: 'most',
  alerts: 'Alerts', events: 'What has happened', acknowledge: 'I have seen it',
  acknowledged: 'seen', atLeast: 'at least ',
  calibrate: 'Calibrate posture', reload: 'Reload models', privacy: 'Privacy',
  draw_mesh: 'Landmarks', draw_axes: 'Head axes', draw_posture: 'Posture',
  fields: {
    expression: 'Expression', eyes: 'Eyes', ear: 'EAR left, right', perclos: 'PERCLOS',
    looks: 'Looks', blinks: 'Blinks', closures: 'Long closures', yawns: 'Yawns', head: 'Head', posture: 'Posture',
    distance: 'To the camera', still: 'Warnings',
  },
  head: (yaw, pitch, roll) => `${side(yaw, 'left', 'right')}, ${side(pitch, 'down', 'up')}, ` +
    `tilted ${side(roll, 'right', 'left')}`,
  tooClose: s => `too close for ${s} s`,
  tooStill: s => `not moved for ${s} min`,
  allTables: 'All tables',
  noTables: 'No table is heard. Tables are found by their topics and by /diagnostics.',
  fleetSummary: ({ tables, people, alerts, silent, troubled }) => [
    `${tables} ${tables === 1 ? 'table' : 'tables'}`,
    `${people} ${people === 1 ? 'person' : 'people'} there`,
    alerts ? `${alerts} ${alerts === 1 ? 'alert' : 'alerts'}` : 'no alert',
    silent ? `${silent} silent` : '',
    troubled ? `${troubled} with nodes that are not in order` : '',
  ].filter(Boolean).join(', '),
  silentFor: s => s < 120 ? `silent for ${s} s` : `silent for ${Math.round(s / 60)} min`,
  nobodyThere: 'nobody there',
  noNodes: 'its nodes do not report',
  allInOrder: n => `all ${n} nodes in order`,
  time: 'time', valence: 'Valence', arousal: 'Arousal', plane: 'Valence to the right, arousal upwards',
  curveTitles: { ear: 'Eye aspect ratio', perclos: 'PERCLOS', feeling: 'Valence and arousal',
    head: 'Head [°]' },
  series: { left_ear: 'left', right_ear: 'right', perclos: 'PERCLOS', valence: 'valence',
    arousal: 'arousal', head_yaw: 'yaw', head_pitch: 'pitch' },
};

export const levels = ['not known', 'alert', 'mild', 'severe', 'microsleep', 'asleep'];
export const eyes = ['not known', 'open', 'closed', 'wink (left)', 'wink (right)'];
export const postures = ['not known', 'upright', 'leaning forward', 'slouching', 'tilted',
  'too close', 'away'];
export const zones = ['not known where', 'to the front', 'down at the table', 'away'];
export const alertLevels = ['over', 'hint', 'warning', 'critical'];
export const eventKinds = ['blink', 'long closure of the eyes', 'microsleep', 'yawn', 'nod',
  'looked away', 'came', 'left', 'posture changed', 'sat too long'];
export const nodeLevels = ['in order', 'warning', 'error', 'stale'];
export const privacies = { none: 'as the camera sees it', blur: 'faces are blurred',
  mesh: 'landmarks only', no_image: 'no pictures' };

// by the constants of Fatigue.visibility
export const unseen = ['', 'the face was not found', 'the landmarks are doubtful',
  'the face is too small', 'the head is turned too far', 'the head is pitched too far',
  'the eyes are outside of the picture', 'it is too dark', 'the eyes are blurred',
  'the eyes are covered'];

export const expressions = { neutral: 'neutral', happy: 'happy', sad: 'sad',
  surprise: 'surprised', fear: 'afraid', disgust: 'disgusted', anger: 'angry',
  contempt: 'contemptuous? (mostly wrong)', uncertain: 'not clear', unknown: 'not known' };

function side(degrees, positive, negative) {
  return `${Math.abs(degrees)}° ${degrees < 0 ? negative : positive}`;
}
