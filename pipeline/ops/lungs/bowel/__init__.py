"""Bowel that a thin or blurred diaphragm joins to a lung, told from lung."""
