"""The captioned emoji set: three vendors' pictures of the same concepts, with the labels of emojibase as captions."""

from unetdiff.data.sources.emoji.building import build_emoji
from unetdiff.data.sources.emoji.finding import emoji_folders, find_emoji
from unetdiff.data.sources.emoji.packages import LICENSES, NOTICES, fetch_packages

__all__ = ["LICENSES", "NOTICES", "build_emoji", "emoji_folders", "fetch_packages", "find_emoji"]
