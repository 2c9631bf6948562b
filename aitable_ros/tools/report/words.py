# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Words and colours of a report; colours that colour-blind people tell apart, light and dark."""

from __future__ import annotations

GREY = '#98a3b3'

LEVELS = {
    'level_unknown_s': ('not known', GREY),
    'level_alert_s': ('alert', '#2fb48d'),
    'level_mild_s': ('mild', '#e3d43a'),
    'level_severe_s': ('severe', '#f0a52a'),
    'level_microsleep_s': ('microsleep', '#f07a3c'),
    'level_asleep_s': ('asleep', '#d6529c'),
}
ZONES = {
    'zone_front_s': ('to the front', '#56b4e9'),
    'zone_desk_s': ('down at the table', '#3a6fb0'),
    'zone_away_s': ('away', '#f0a52a'),
    'zone_unknown_s': ('not known', GREY),
}
EXPRESSIONS = {
    'expression_neutral_s': ('neutral', '#b9c6d6'),
    'expression_happy_s': ('happy', '#f6be3e'),
    'expression_surprise_s': ('surprised', '#42beba'),
    'expression_sad_s': ('sad', '#4a76d0'),
    'expression_fear_s': ('afraid', '#9468c8'),
    'expression_disgust_s': ('disgusted', '#70a84a'),
    'expression_anger_s': ('angry', '#d84848'),
    'expression_contempt_s': ('contemptuous?', '#a07054'),
    'expression_uncertain_s': ('not clear', '#77839a'),
    'expression_unknown_s': ('not known', GREY),
}
POSTURES = {
    'posture_upright_s': ('upright', '#2fb48d'),
    'posture_leaning_forward_s': ('leaning forward', '#e3d43a'),
    'posture_slouching_s': ('slouching', '#f0a52a'),
    'posture_tilted_s': ('tilted', '#cc79a7'),
    'posture_too_close_s': ('too close', '#e0653a'),
    'posture_away_s': ('nobody sits there', '#5f6b7c'),
    'posture_unknown_s': ('not known', GREY),
}
SEEING = {
    'image_clear_s': ('clear', '#56b4e9'),
    'image_too_dark_s': ('too dark', '#3d4654'),
    'image_glare_s': ('glare', '#f6e27a'),
    'image_blurred_s': ('blurred', '#b08fd0'),
    'image_covered_s': ('covered', '#8a5a44'),
}
PRESENCE = {'present_s': ('somebody is there', '#56b4e9')}

EVENTS = {
    'long_closure': ('long closure of the eyes', '#d9c92e'),
    'microsleep': ('microsleep', '#f07a3c'),
    'yawn': ('yawn', '#a884d8'),
    'nod': ('nod', '#7fb04c'),
    'looked_away': ('looked away', '#f0a52a'),
    'came': ('came', '#56b4e9'),
    'left': ('left', GREY),
    'posture_changed': ('posture changed', '#cc79a7'),
    'sat_too_long': ('sat too long', '#e0653a'),
}
"""All but blinks, which are counted by the minute."""

MARKED = {
    'long_closure': 'Long closures',
    'microsleep': 'Microsleeps',
    'yawn': 'Yawns',
    'nod': 'Nods',
    'looked_away': 'Looked away',
    'sat_too_long': 'Sat too long',
}
"""Those with a lane of their own; the others can be seen in the lanes of readings."""
